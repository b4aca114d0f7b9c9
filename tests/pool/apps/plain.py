from standin import StandIn

print("printed by the import")
app = StandIn("plain")
number = 3
