<?php

declare(strict_types=1);

require __DIR__ . '/../vendor/autoload.php';

use Shop\Basket;

function check(bool $holds, string $what): void
{
    if (!$holds) {
        fwrite(STDERR, "failed: $what\n");
        exit(1);
    }
    echo "ok: $what\n";
}

$basket = new Basket();
$basket->add('lock', 1);
$basket->add('bell', 2);
$basket->add('lock', 2);
check($basket->items() === ['bell' => 2, 'lock' => 3], 'what is added twice is there once');

$refused = false;
try {
    $basket->add('bell', 0);
} catch (InvalidArgumentException) {
    $refused = true;
}
check($refused, 'nothing cannot be bought');
