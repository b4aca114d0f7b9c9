import threading

from standin import StandIn

threading.Thread(target=threading.Event().wait, name="listener", daemon=True).start()
app = StandIn("threaded")
