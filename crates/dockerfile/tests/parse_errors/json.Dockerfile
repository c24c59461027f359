FROM alpine
CMD ["a", 1]
CMD ['single', 'quotes']
CMD ["unterminated", "array"
CMD ["trailing", "comma",]
ENTRYPOINT ["a", ["b"]]
SHELL ["/bin/sh", null]
COPY ["a b", {"c": "d"}]
RUN [ -f /etc/hosts ] && echo yes
RUN ["echo" "no comma"]
