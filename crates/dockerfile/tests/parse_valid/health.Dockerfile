FROM alpine
HEALTHCHECK none
HEALTHCHECK CMD curl -f http://localhost/ || exit 1
HEALTHCHECK --interval=1m30s --timeout=0 --start-period=1.5s --start-interval=1ms --retries=+3 cmd ["true", "x"]
HEALTHCHECK --interval= CMD ["a"
