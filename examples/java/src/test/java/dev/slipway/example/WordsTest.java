package dev.slipway.example;

import static org.junit.Assert.assertEquals;

import org.junit.Test;

public class WordsTest {
    @Test
    public void aMinuteAndMoreIsToldInMinutes() {
        assertEquals("59 s", Words.duration(59));
        assertEquals("2 min 5 s", Words.duration(125));
    }
}
