"""A small service: how much smaller an image is than the largest stage that it was made from."""

import bottle

from reduction import reduction

app = bottle.Bottle()


@app.get("/healthz")
def healthz():
    return "ok\n"


@app.get("/<largest:float>/<image:float>")
def answer(largest, image):
    try:
        return {"smaller": reduction(largest, image)}
    except ValueError as error:
        bottle.response.status = 400
        return {"problem": str(error)}
