FROM alpine
RUN apt-get update \
    # a comment inside

    && apt-get install -y curl \
    && make
COPY --chwon=me \
     --chmod=9 \
     a b
ENV A=1 \
    B \
    C=3
CMD [ "a", \
  1 ]
RUN a very long instruction that \
    goes on \
    and on \
    and on \
    and on --mount=type=x
HEALTHCHECK NONE one \
  two \
  three \
  four \
  five \
  six
