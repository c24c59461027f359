FROM alpine
COPY a <<EOF
content
EOF
COPY << SPACED /dest
content
SPACED
RUN <<ONE cat <<TWO
first
ONE
never ended
RUN echo after
RUN <<DONE
fine
DONE
