from beside import StandIn

app = StandIn(__name__)

if __name__ == "__main__":
    raise SystemExit("the guard did not hold")
