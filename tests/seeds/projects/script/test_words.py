from words import count


def test_words_are_counted():
    assert count("") == 0
    assert count("one  two") == 2
