package io.gantry.checkpoint.resource;

import com.google.protobuf.ByteString;
import io.gantry.checkpoint.image.tty_data_entry;
import io.gantry.checkpoint.linux.Poll;
import io.gantry.checkpoint.linux.TerminalCalls;
import java.io.ByteArrayOutputStream;
import java.util.ArrayList;
import java.util.List;

/**
 * What waits to be read from both ends of a pseudo-terminal. The kernel gives it only to who takes it out, so it is taken out and put back at once;
 * for that moment, some tens of microseconds, the agent must not be killed.
 *
 * @param input pieces that the slave reads: lines, and at most one piece that is none
 * @param output what the master reads
 * @param stopped whether output is stopped
 */
record TerminalContent(List<Piece> input, byte[] output, boolean stopped) {
  /** As many bytes as the kernel keeps processed, {@code N_TTY_BUF_SIZE}; what goes beyond waits in front of that. */
  private static final int BUFFER_BYTES = 4096;

  /** Pieces are at least a byte long or an end of input. */
  private static final int PIECES_MAX = 1 << 16;

  /** @param line whether it is complete; @param endOfInput whether the character for the end of input completed it, which is not among the bytes */
  record Piece(byte[] bytes, boolean line, boolean endOfInput) {
    static Piece of(tty_data_entry entry) {
      return new Piece(entry.getData().toByteArray(), entry.getLine(), entry.getEndOfInput());
    }

    tty_data_entry toEntry(int terminal) {
      var entry = tty_data_entry.newBuilder().setTtyId(terminal).setData(ByteString.copyFrom(bytes));
      if (line) {
        entry.setLine(true).setEndOfInput(endOfInput);
      }
      return entry.build();
    }
  }

  /**
   * Looks at a terminal of which nobody reads or writes meanwhile; afterwards it is as before.
   *
   * @param master our copy
   * @param slave one that does not block
   */
  static TerminalContent copy(int master, int slave) {
    var modes = new TerminalModes(TerminalCalls.modes(slave));
    // Asking moves along what is still on the way (drivers/tty/n_tty.c, n_tty_poll).
    boolean quiet = (Poll.await(slave, Poll.IN | Poll.OUT, 0) & (Poll.IN | Poll.OUT)) == Poll.OUT && Poll.await(master, Poll.IN, 0) == 0;
    if (quiet && !modes.isCanonical() && TerminalCalls.waiting(slave) == 0) {
      return new TerminalContent(List.of(), new byte[0], false);
    }
    boolean packets = TerminalCalls.isPacketMode(master);
    if (packets) {
      TerminalCalls.setPacketMode(master, false);
    }
    var content = take(master, slave, modes);
    content.put(master, slave, modes);
    if (packets) {
      // This forgets what the changes of modes have left to be told.
      TerminalCalls.setPacketMode(master, true);
    }
    return content;
  }

  private static TerminalContent take(int master, int slave, TerminalModes modes) {
    var output = new ByteArrayOutputStream();
    while (Poll.await(master, Poll.IN, 0) == Poll.IN) {
      output.writeBytes(TerminalCalls.read(master));
    }
    boolean stopped = (Poll.await(slave, Poll.OUT, 0) & Poll.OUT) == 0;
    var pieces = new ArrayList<Piece>();
    if (modes.isCanonical()) {
      while (pieces.size() < PIECES_MAX && (Poll.await(slave, Poll.IN, 0) & Poll.IN) != 0) {
        byte[] line = TerminalCalls.read(slave);
        boolean ended = line.length > 0 && modes.endsLine(line[line.length - 1]);
        pieces.add(new Piece(line, true, !ended));
      }
      TerminalCalls.setModes(slave, modes.withoutLines().termios2());
    }
    var rest = new ByteArrayOutputStream();
    while ((Poll.await(slave, Poll.IN, 0) & Poll.HUP) == 0 && TerminalCalls.waiting(slave) > 0) {
      rest.writeBytes(TerminalCalls.read(slave));
    }
    if (modes.isCanonical()) {
      TerminalCalls.setModes(slave, modes.termios2());
    }
    if (rest.size() > 0) {
      pieces.add(new Piece(rest.toByteArray(), false, false));
    }
    return new TerminalContent(List.copyOf(pieces), output.toByteArray(), stopped);
  }

  /** Puts everything into a terminal in which nothing waits. */
  void put(int master, int slave, TerminalModes modes) {
    if (!input.isEmpty()) {
      TerminalCalls.setModes(slave, modes.verbatimInput().termios2());
      int room = BUFFER_BYTES - 1;
      for (var piece : input) {
        room -= type(piece, master, slave, modes.isCanonical(), room);
      }
      TerminalCalls.setModes(slave, modes.termios2());
    }
    if (output.length > 0) {
      TerminalCalls.startOutput(slave);
      TerminalCalls.setModes(slave, modes.verbatimOutput().termios2());
      for (int done = 0, turn = 0; done < output.length && turn < BUFFER_BYTES; turn++) {
        done += TerminalCalls.write(slave, output, done, 1024);
      }
      TerminalCalls.setModes(slave, modes.termios2());
    }
    if (stopped) {
      stop(slave, modes);
    }
  }

  /** What stopped it cannot be seen: where a character may, a character has. */
  private static void stop(int slave, TerminalModes modes) {
    if (modes.stopsByCharacter()) {
      TerminalCalls.setModes(slave, modes.stoppable().termios2());
      TerminalCalls.type(slave, TerminalModes.STOP);
      TerminalCalls.setModes(slave, modes.termios2());
    } else {
      TerminalCalls.stopOutput(slave);
    }
  }

  private static int type(Piece piece, int master, int slave, boolean canonical, int room) {
    byte[] bytes = piece.bytes();
    int body = piece.line() && !piece.endOfInput() ? bytes.length - 1 : bytes.length;
    int kept = Math.min(bytes.length, room);
    for (int i = 0; i < kept; i++) {
      if (canonical && i < body) {
        TerminalCalls.type(slave, TerminalModes.QUOTE);
      }
      TerminalCalls.type(slave, bytes[i]);
    }
    if (piece.endOfInput()) {
      TerminalCalls.type(slave, TerminalModes.END_OF_INPUT);
    }
    for (int done = kept; done < bytes.length; ) {
      int written = TerminalCalls.write(master, bytes, done, 1024);
      if (written == 0) {
        break;
      }
      done += written;
    }
    return kept;
  }
}
