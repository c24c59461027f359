import bottle

app = bottle.Bottle()


@app.get("/")
def index():
    return "served by bottle\n"
