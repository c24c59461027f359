<?php
require __DIR__ . '/../vendor/autoload.php';

echo Seed\Greeting::from('composer'), "\n";
