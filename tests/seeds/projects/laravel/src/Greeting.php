<?php
namespace Seed;

final class Greeting
{
    public static function from(string $who): string
    {
        return "loaded by the autoloader of $who";
    }
}
