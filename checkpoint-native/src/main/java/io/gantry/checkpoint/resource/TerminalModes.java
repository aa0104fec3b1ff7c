package io.gantry.checkpoint.resource;

import io.gantry.checkpoint.image.termios_entry;
import io.gantry.checkpoint.linux.TerminalCalls;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;

/**
 * A {@code struct termios2} ({@code asm-generic/termbits.h}), and those that are set for a moment so that bytes pass a terminal unchanged. Immutable.
 */
final class TerminalModes {
  private static final int INPUT_AT = 0;
  private static final int OUTPUT_AT = 4;
  private static final int LOCAL_AT = 12;
  private static final int CHARACTERS_AT = 17;
  private static final int CHARACTERS = 19;

  private static final int ISIG = 01;
  private static final int ICANON = 02;
  private static final int ECHO = 010;
  private static final int ECHONL = 0100;
  private static final int IEXTEN = 0100000;
  private static final int EXTPROC = 0200000;
  private static final int PARMRK = 010;
  private static final int ISTRIP = 040;
  private static final int INLCR = 0100;
  private static final int IGNCR = 0200;
  private static final int ICRNL = 0400;
  private static final int IUCLC = 01000;
  private static final int IXON = 02000;
  private static final int OPOST = 01;

  private static final int VEOF = 4;
  private static final int VTIME = 5;
  private static final int VMIN = 6;
  private static final int VSTOP = 9;
  private static final int VEOL = 11;
  private static final int VLNEXT = 15;
  private static final int VEOL2 = 16;

  static final byte END_OF_INPUT = 4;
  static final byte STOP = 023;
  /** Takes away what the next byte means to the terminal. */
  static final byte QUOTE = 026;

  private final byte[] bytes;

  TerminalModes(byte[] termios2) {
    bytes = termios2.clone();
  }

  static TerminalModes of(termios_entry entry) {
    var out = ByteBuffer.allocate(TerminalCalls.TERMIOS2_BYTES).order(ByteOrder.LITTLE_ENDIAN);
    out.putInt(entry.getCIflag()).putInt(entry.getCOflag()).putInt(entry.getCCflag()).putInt(entry.getCLflag());
    out.put((byte) entry.getCLine());
    entry.getCCcList().stream().limit(CHARACTERS).forEach(character -> out.put(character.byteValue()));
    out.position(CHARACTERS_AT + CHARACTERS);
    return new TerminalModes(out.putInt(entry.getCIspeed()).putInt(entry.getCOspeed()).array());
  }

  termios_entry toEntry() {
    var in = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
    var entry =
        termios_entry.newBuilder().setCIflag(in.getInt()).setCOflag(in.getInt()).setCCflag(in.getInt()).setCLflag(in.getInt()).setCLine(in.get() & 0xff);
    for (int i = 0; i < CHARACTERS; i++) {
      entry.addCCc(in.get() & 0xff);
    }
    return entry.setCIspeed(in.getInt()).setCOspeed(in.getInt()).build();
  }

  /** With the speeds. */
  byte[] termios2() {
    return bytes.clone();
  }

  /** Without the speeds. */
  byte[] termios() {
    return Arrays.copyOf(bytes, TerminalCalls.TERMIOS_BYTES);
  }

  private boolean has(int at, int flag) {
    return (ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN).getInt(at) & flag) != 0;
  }

  private TerminalModes with(int at, int set, int clear) {
    var changed = new TerminalModes(bytes);
    var buffer = ByteBuffer.wrap(changed.bytes).order(ByteOrder.LITTLE_ENDIAN);
    buffer.putInt(at, buffer.getInt(at) & ~clear | set);
    return changed;
  }

  private TerminalModes with(int character, byte value) {
    var changed = new TerminalModes(bytes);
    changed.bytes[CHARACTERS_AT + character] = value;
    return changed;
  }

  boolean isCanonical() {
    return has(LOCAL_AT, ICANON);
  }

  boolean stopsByCharacter() {
    return has(INPUT_AT, IXON);
  }

  /** Whether a line may end with that byte. */
  boolean endsLine(byte last) {
    return last == '\n' || last != 0 && (last == bytes[CHARACTERS_AT + VEOL] || last == bytes[CHARACTERS_AT + VEOL2]);
  }

  /** Input is no longer kept in lines, and a read waits for nothing. */
  TerminalModes withoutLines() {
    return with(LOCAL_AT, 0, ICANON).with(VMIN, (byte) 0).with(VTIME, (byte) 0);
  }

  /** What is typed is kept as it is and not shown: every byte, or in canonical mode every byte behind a {@link #QUOTE}. */
  TerminalModes verbatimInput() {
    var quiet = with(INPUT_AT, 0, PARMRK | ISTRIP | INLCR | IGNCR | ICRNL | IUCLC).with(LOCAL_AT, 0, ISIG | ECHO | ECHONL | EXTPROC);
    return isCanonical()
        ? quiet.with(LOCAL_AT, IEXTEN, 0).with(VLNEXT, QUOTE).with(VEOF, END_OF_INPUT)
        : quiet.with(INPUT_AT, 0, IXON);
  }

  /** A typed {@link #STOP} stops output, and nothing is shown of it. */
  TerminalModes stoppable() {
    return with(LOCAL_AT, 0, ISIG | ECHO | ECHONL | EXTPROC).with(VSTOP, STOP);
  }

  /** What is written is not processed, and output that a character stopped goes on. */
  TerminalModes verbatimOutput() {
    return with(OUTPUT_AT, 0, OPOST).with(INPUT_AT, 0, IXON);
  }
}
