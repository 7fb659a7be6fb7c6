"""Search for messages: an index beside the messages, which a follower of changes writes."""
