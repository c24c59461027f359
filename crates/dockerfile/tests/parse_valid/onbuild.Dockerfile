FROM alpine
ONBUILD RUN --mount=type=cache,target=/c make
onbuild copy a b
ONBUILD   ENV   A=1   B=2  
ONBUILD CMD ["a"]
ONBUILD RUN a \
   b
