package io.gantry.transport;

import java.nio.ByteBuffer;

/** Remembers the views of a stream's few term buffers. For one thread. */
final class FrameViews {
  /** Aeron maps all three terms of a log as one buffer below 2 GiB, and each by itself above. */
  private final FrameView[] views = new FrameView[3];

  private int next;

  FrameView of(ByteBuffer buffer) {
    for (FrameView view : views) {
      if (view != null && view.shows(buffer)) {
        return view;
      }
    }
    FrameView view = new FrameView(buffer);
    views[next] = view;
    next = (next + 1) % views.length;
    return view;
  }
}
