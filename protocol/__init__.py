"""What the add-on and the backend say to each other: values, events, bytes.  No bpy, no torch, no zmq."""
