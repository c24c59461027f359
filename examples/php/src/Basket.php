<?php

declare(strict_types=1);

namespace Shop;

/** What a customer wants to buy. */
final class Basket
{
    /** @var array<string, int> */
    private array $items = [];

    public function add(string $item, int $count): void
    {
        if ($count < 1) {
            throw new \InvalidArgumentException("$count of $item is nothing to buy");
        }
        $this->items[$item] = ($this->items[$item] ?? 0) + $count;
    }

    /** @return array<string, int> */
    public function items(): array
    {
        ksort($this->items);
        return $this->items;
    }
}
