// The Socket.IO server: every message is sent to every client. Run by `node socketio.js <port>`.
const { Server } = require("socket.io");

// No ping during a run: the clients do not answer pings.
const server = new Server({ transports: ["websocket"], pingInterval: 3600_000, pingTimeout: 3600_000 });
server.on("connection", (socket) => socket.on("message", (content) => server.emit("message", content)));
server.listen(Number(process.argv[2]));
