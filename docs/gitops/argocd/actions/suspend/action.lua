-- No build starts; one that runs goes on.
obj.spec.suspend = true
return obj
