"""Many inputs through a queue: `Task.map` and `Task.amap`, in bounded memory. It begins with `flow.py`."""
