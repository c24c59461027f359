# gone

# first
   # second

ARG A=1
# dropped
#
# stage builds
FROM scratch AS stage
RUN a \
 # inside
 b
