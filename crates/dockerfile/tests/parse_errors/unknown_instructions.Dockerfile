FROM alpine AS build
RNU apk add git
cpoy . .
WORKDIRR /src
&& make
// a comment of another language
ENTRYPIONT ["/app"]
fetch https://example.org
RUN make
