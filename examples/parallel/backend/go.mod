module backend

go 1.23
