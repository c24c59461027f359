# Syntax = docker/dockerfile:1 
#escape=\
# check = skip=all;error=true
# unknown=ends
# escape=`
FROM alpine
