import pytest

from app import app
from reduction import reduction


def test_the_reduction_is_a_share_of_the_largest_stage():
    assert reduction(1500, 100) == "93.3%"


def test_a_stage_has_a_size():
    with pytest.raises(ValueError):
        reduction(0, 1)


def test_the_service_has_its_routes():
    assert {route.rule for route in app.routes} == {"/healthz", "/<largest:float>/<image:float>"}
