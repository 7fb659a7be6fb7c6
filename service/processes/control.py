"""The protocol between the supervisor and a worker, one byte per message, on a socket pair.

A worker that has loaded its modules and built its app waits for a request. PREPARE makes it create the database's
indexes, and SERVE makes it serve; it answers DONE or FAILED. After SERVE the socket is not used any more.
"""

PREPARE = b"P"
SERVE = b"S"

DONE = b"+"
FAILED = b"-"
