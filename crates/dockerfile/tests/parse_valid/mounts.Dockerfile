FROM alpine
RUN --mount=target=/a true
RUN --mount=type=bind,from=x,src=/s,dst=/t,rw=true --mount=type=BIND,source=a,destination=b,readonly=false true
RUN --mount=type=cache,id=go,target=/root/.cache,sharing=Locked,uid=1000,gid=0,mode=0755,from=base,ro true
RUN --mount=type=tmpfs,target=/tmp,size=1.5GiB --mount=type=tmpfs,size=64m,dst=/x --mount=type=tmpfs,dst=/y,size=100 true
RUN --mount=type=secret,id=npm,target=/root/.npmrc,required=true,mode=0400,uid=1,gid=2 --mount=type=secret,id=k,env=KEY,required true
RUN --mount=type=ssh --mount=type=ssh,id=git,target=/s,required true
RUN --mount='type=bind,"source=a,b",target=/c' --mount=type=cache,\"target=/d\ e\" true
RUN --mount=type=$TYPE,sharing=$SHARING,size=$SIZE,mode=$MODE,uid=$U,ro=$RO --network=none --security=sandbox --device=vendor/gpu=0,required true
