import subprocess

from standin import StandIn

helper = subprocess.Popen(["sleep", "600"])
app = StandIn(str(helper.pid))
