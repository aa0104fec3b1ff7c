package io.gantry.checkpoint.resource;

import io.gantry.checkpoint.linux.Sockets;
import io.gantry.checkpoint.linux.TcpRepair;

/** States of a TCP socket as {@code net/tcp_states.h} numbers them. */
final class TcpState {
  static final int ESTABLISHED = 1;
  static final int SYN_SENT = 2;
  static final int SYN_RECV = 3;
  static final int FIN_WAIT1 = 4;
  static final int FIN_WAIT2 = 5;
  static final int TIME_WAIT = 6;
  static final int CLOSE = 7;
  static final int CLOSE_WAIT = 8;
  static final int LAST_ACK = 9;
  static final int LISTEN = 10;
  static final int CLOSING = 11;

  private TcpState() {}

  /** The state of one of our descriptors: the first byte of {@code struct tcp_info}. */
  static int of(int copy) {
    return Sockets.option(copy, Sockets.IPPROTO_TCP, TcpRepair.TCP_INFO).orElseThrow()[0];
  }

  static boolean hasReceivedFin(int state) {
    return state == CLOSE_WAIT || state == LAST_ACK || state == CLOSING;
  }

  /** Nothing more will be written: a FIN is at the end of the send queue, or was sent. */
  static boolean hasWrittenFin(int state) {
    return state == FIN_WAIT1 || state == FIN_WAIT2 || state == CLOSING || state == LAST_ACK;
  }

  /** Closed, or about to be: what no descriptor leads to in these states was closed by its program. */
  static boolean hasEnded(int state) {
    return hasWrittenFin(state) || state == TIME_WAIT || state == CLOSE;
  }
}
