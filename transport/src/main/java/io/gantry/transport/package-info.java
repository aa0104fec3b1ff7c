/**
 * Moving pages and messages between hosts over Aeron (UDP): framing, checks, zero pages, sealing, flow control and back-pressure.
 *
 * <p>What may come in: everything about carrying bytes of pages from one host to another. What must never: processes, the kernel
 * interfaces that read or write their memory, actors, and any decision about a migration. Pages are read and written by the
 * caller, straight in Aeron's buffers, through {@link io.gantry.transport.Filler} and {@link io.gantry.transport.FrameHandler}.
 *
 * <p>{@link io.gantry.transport.PageTransport} is the one object per node; {@link io.gantry.transport.PageStreamSender} and
 * {@link io.gantry.transport.PageStreamReceiver} are the two ends of a stream, which both sides know by the same
 * {@link io.gantry.transport.StreamTicket}.
 */
package io.gantry.transport;
