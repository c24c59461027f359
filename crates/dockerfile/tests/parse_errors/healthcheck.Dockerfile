FROM alpine
HEALTHCHECK
HEALTHCHECK NONE please
HEALTHCHECK --interval=5s NONE
HEALTHCHECK CMD
HEALTHCHECK CMD []
HEALTHCHECK CDM curl localhost
HEALTHCHECK CONNECT TCP 7000
HEALTHCHECK --interval=5 --timeout=3d --start-period=1us --start-interval=-1s --retries=-2 CMD true
HEALTHCHECK --retires=3 --timeout= --interval=1m30s --retries=three CMD ["true"]
