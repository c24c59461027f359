def reduction(largest: float, image: float) -> str:
    """Tells the share of the largest stage that is not in the image."""
    if largest <= 0:
        raise ValueError("a stage has a size")
    return f"{100 * (1 - image / largest):.1f}%"
