"""Search for messages: an index beside the messages, which the processes that store them write."""
