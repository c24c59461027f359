FROM
FROM alpine build
FROM alpine AS
FROM alpine AS 1st
FROM alpine AS my/stage
FROM alpine AS build extra
FROM --platfrom=linux/amd64 alpine
FROM --platform alpine
FROM --platform=linux/amd64 --platform=linux/arm64 alpine AS ok
