// The receipt of a sale, as its answer tells of it.
import { formatMoney } from "../money.js";

/**
 * Writes a receipt, into the list where it stands.
 *
 * @param sale The answer to a sale.
 */
export function showReceipt(sale) {
  const { seller, serialNumber, buyer, ...sums } = sale.invoice;
  const money = (minor) => formatMoney(minor, sale.currency);
  const isVat = seller === null || seller.vatRegistered;
  const [{ tendered, change } = {}] = sale.payments;

  document.getElementById("receipt-title").textContent = serialNumber
    ? `Invoice ${serialNumber}`
    : `Receipt ${sale.number}`;
  document.getElementById("receipt").replaceChildren(
    ...seller
      ? [
        line(seller.registeredName),
        line(
          `${
            isVat ? "VAT" : "Non-VAT"
          } Reg. TIN ${seller.tin}-${seller.branchCode}`,
        ),
        line(seller.address),
      ]
      : [],
    line(
      `${sale.number}, ${new Date(sale.createdAt).toLocaleString([])}`,
    ),
    ...buyer
      ? [line(
        `Sold to ${
          [buyer.name, buyer.tin && `TIN ${buyer.tin}`, buyer.address]
            .filter(Boolean).join(", ")
        }`,
      )]
      : [],
    ...sale.lines.map(({ name, quantity, unitPrice, total }) =>
      line(
        `${quantity} × ${name}, ${money(unitPrice)}`,
        money(total),
      )
    ),
    line("Total", money(sale.total)),
    ...tendered
      ? [line("Handed over", money(tendered)), line("Change", money(change))]
      : [],
    ...isVat
      ? [
        line("VATable sales", money(sums.vatableSales)),
        line("VAT", money(sums.vatAmount)),
        line("Zero-rated sales", money(sums.zeroRatedSales)),
        line("VAT-exempt sales", money(sums.exemptSales)),
      ]
      : [line("This document is not valid for claim of input tax.")],
    ...seller ? permitLines(seller) : [],
  );
  document.getElementById("receipt-section").hidden = false;
}

function permitLines({ permit, accreditation }) {
  const { number, issuedOn, firstSerial, lastSerial } = permit;
  return [
    line(
      `Permit to use ${number} of ${issuedOn}, serial numbers ${firstSerial} to ${lastSerial}`,
    ),
    ...accreditation
      ? [
        line(
          `Accreditation ${accreditation.number} of ${accreditation.issuedOn}`,
        ),
      ]
      : [],
  ];
}

function line(text, amount) {
  const item = document.createElement("li");
  const what = document.createElement("span");
  what.textContent = text;
  item.append(what);
  if (amount !== undefined) {
    const output = document.createElement("output");
    output.textContent = amount;
    item.append(output);
  }
  return item;
}
