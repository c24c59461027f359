FROM alpine AS base
RUN <<EMPTY
EMPTY
RUN 3<<FD cat <&3
three
FD
RUN "<<NONE"
RUN echo '<<NONE' && echo $((1<<2)) "$((1 << 2))" <<<here
RUN <<-TABS
	indented
		more
	TABS
RUN <<-'RAW'
	$NAME
RAW
RUN <<partly'Quoted' cat
one
partlyQuoted
RUN <<esc\'aped
two
esc'aped
RUN <<'two words'
three
two words
RUN <<$VARIABLE
$VARIABLE
RUN <<  SPACED  > out
four
SPACED
RUN <<SEMI; echo done
five
SEMI;
RUN --mount=type=cache,target=/c <<FLAGS python3
# not a comment of the Dockerfile
print("FROM nowhere")
FLAGS
RUN cat <<A <<B
B
A
A
B
COPY <<file.txt <<-"raw.txt" plain /dest/
"quoted" 'text' $NAME
file.txt
	$RAW
raw.txt
ADD <<X /x
X
RUN ["<<EOF"]
RUN echo \
  # a comment inside
  <<JOINED
six
JOINED
RUN <<SHEBANG
#!/usr/bin/env python3
print(1)
SHEBANG
ONBUILD COPY <<LATER /later
later
LATER
ONBUILD RUN <<ONE && <<TWO
1
ONE
2
TWO
