FROM alpine
RUN --mount=type=cahce,target=/root/.cache true
RUN --mount=type=cache,taget=/root/.cache,sharing=lock true
RUN --mount=type=bind,from=$BASE,target=/src,mode=0755 true
RUN --mount=required,type=secret,id=token true
RUN --mount=type=secret,required=maybe,source=a,id=b true
RUN --mount=type=secret true
RUN --mount=type=tmpfs,target=/tmp,size=lots,uid=me true
RUN --mount=type=cache,target=/,mode=0999,gid=-1 true
RUN --mount= --mount=type=bind,source="a,b",target true
RUN --mount=type=bind,'"source=a' true
RUN --mount=type=ssh,sharing=locked,size=1m,colour=red true
RUN --mount=type=$KIND,size=1m,required,mode=$MODE --mount=type=bind,ro=$RO true
