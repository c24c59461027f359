FROM alpine
COPY --form=build /a /b
COPY --from=build --from=other /a /b
COPY --link=yes --parents= a b
COPY --chown a b
COPY --chmod=999 --link --link=false a b
COPY --chmod=u=rwX,go=q a b
ADD --from=build a b
ADD --keep-git-dir=maybe --checksum --exclude=a --exclude=b x y
RUN --netwrok=none --network=bridge --security=privileged true
RUN --device=gpu,reqired true
WORKDIR --create /src
CMD --verbose ["a"]
USER --
ARG --name=x value
STOPSIGNAL --now SIGTERM
