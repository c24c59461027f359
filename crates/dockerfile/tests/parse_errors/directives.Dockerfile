# escape = x
# syntax=docker/dockerfile:1
# syntax=docker/dockerfile:2
# check=skip=all
FROM alpine
