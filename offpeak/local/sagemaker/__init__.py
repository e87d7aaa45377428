"""A stand-in for SageMaker's asynchronous inference, serving the inference stacks from their synthesised templates.

    InvokeEndpointAsync ─► queue of the endpoint ─► a free slot of an instance ─► POST /invocations on its worker
                                                                    2xx   └─► output object ─► success topic
                                       another status, or too slow  └─► failure object ─► error topic
                                       the instance dies            └─► nothing: the invocation is lost

It keeps SageMaker's contract and its worst habits: a queue that nothing can be cancelled in, a time to live, work that
is lost without notice. Instances are processes of the container's own `main.py`.
"""
