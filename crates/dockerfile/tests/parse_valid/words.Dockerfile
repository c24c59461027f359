# escape=`
from --platform=$BUILDPLATFORM alpine as Build
Arg a b=1 c="x y" d='x y' e=x` y f=
env A=1 B="two words" C='it''s' D=a` b E="a `"b`"" F=
env legacy  keeps   its   spaces
env path C:`Windows
LABEL "quoted key"=v other.key=a=b=c
workdir C:`path with spaces
user app:group
expose 80 443/tcp 9000-9010/udp ${PORT}
volume /a /b
volume ["/c d", "/e"]
stopsignal $SIGNAL
maintainer Some One <a@b>
shell ["powershell", "-Command"]
run echo one `
    two `
  # comment

    three
cmd []
cmd
entrypoint
entrypoint ["a", "\u00e9\ud83d\ude80\/", "`"]
copy --from=0 --link --parents=true --chown=1:2 --chmod=u=rwX,go=rX --exclude=*.md --exclude="a b" -- --odd /dest
add --keep-git-dir=false --unpack --checksum=sha256:00 https://example.org/x.git#main /src
copy ["a b", "c", "d e"]
