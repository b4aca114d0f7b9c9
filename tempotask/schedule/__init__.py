"""When schedules fire, and firing them."""
