package dev.slipway.example;

/** Durations for people. */
final class Words {
    private Words() {}

    static String duration(long seconds) {
        if (seconds < 60) {
            return seconds + " s";
        }
        return seconds / 60 + " min " + seconds % 60 + " s";
    }
}
