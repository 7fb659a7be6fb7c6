// The Socket.IO server: what anyone says, everyone is sent. Run by `node socketio.js <port>`.
const { Server } = require("socket.io");

// No ping within the length of a run: the clients answer none.
const server = new Server({ transports: ["websocket"], pingInterval: 3600_000, pingTimeout: 3600_000 });
server.on("connection", (socket) => socket.on("message", (content) => server.emit("message", content)));
server.listen(Number(process.argv[2]));
