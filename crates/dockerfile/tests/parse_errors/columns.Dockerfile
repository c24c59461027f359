FROM alpine
COPY --from="bau	" 漢字 宛 --chmod=9
	RUN	--mnt=a	--mount=type=cäche true
ADD --chmod=☃ a b
ENV A=[31mred B
ARG =‮evil
WORKDIR --x=🚀 /a
