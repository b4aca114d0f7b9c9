from standin import StandIn

first, second = StandIn("first"), StandIn("second")
