def ratio() -> float:
    return 1 / 0


ratio()
