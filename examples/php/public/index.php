<?php

declare(strict_types=1);

require __DIR__ . '/../vendor/autoload.php';

use Shop\Basket;

$basket = new Basket();
foreach ($_GET as $item => $count) {
    $basket->add((string) $item, (int) $count);
}
header('Content-Type: application/json');
echo json_encode($basket->items()), "\n";
